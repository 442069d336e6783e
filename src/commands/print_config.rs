//! `--print-config`: what a join would do, and who said so.

use crate::config::JoinConfig;
use crate::error::Result;
use crate::http::System;
use crate::join;
use crate::log::Log;
use crate::report::Report;

/// Prints the settings, which `text` has already, if a join with them would begin.
///
/// # Errors
/// What a join would refuse before it asks anybody; [`crate::error::ErrorKind::Files`] when the answer cannot be printed.
pub fn print_config(
    options: &JoinConfig,
    text: &str,
    system: &System,
    log: &Log,
    report: &mut Report,
) -> Result<()> {
    options.warnings.iter().for_each(|warning| log.warn(warning));
    join::rehearse(options, system, log, report)?;
    log.print(text)
}
