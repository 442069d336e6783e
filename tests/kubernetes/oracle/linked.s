// Lets functions without a body be declared, which the linker finds elsewhere.
