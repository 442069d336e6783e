//! The process around [`nodestrap::run`]: its memory, and what becomes of a panic.

#![forbid(unsafe_code)]

use std::process::ExitCode;

use dlmalloc::GlobalDlmalloc;
use nodestrap::{exit_on_panic, run, wipe_stack};
use zeroizing_alloc::ZeroAlloc;

/// No secret outlives the memory that held it.
#[global_allocator]
static ALLOCATOR: ZeroAlloc<GlobalDlmalloc> = ZeroAlloc(GlobalDlmalloc);

fn main() -> ExitCode {
    // A build with debug assertions shows the panic itself, and its backtrace.
    if cfg!(not(debug_assertions)) {
        std::panic::set_hook(Box::new(exit_on_panic));
    }
    let code = run();
    wipe_stack();
    code
}
