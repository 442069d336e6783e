mod completions;
mod documents;
