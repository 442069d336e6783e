use std::time::SystemTime;

use rustix::fs::{CWD, FileType, Mode, mknodat};

use super::*;
use crate::clock::fake::FakeClock;
use crate::disk::Scratch;

/// One that waits for no time, or reads files only.
fn reader(waits: bool) -> Reader {
    let clock: Arc<dyn Clock> = Arc::new(FakeClock::at(SystemTime::UNIX_EPOCH));
    let deadline = Deadline::at(Duration::ZERO);
    if waits { Reader::waiting(Wait { clock, deadline }) } else { Reader::of_files() }
}

/// What is read, or what is told of it.
fn read(mut reader: Reader, path: &Path) -> std::result::Result<String, String> {
    let name = path.to_str().unwrap();
    match reader.text_or_nothing("--x", name, path).map_err(|e| e.to_string())? {
        Some(text) => {
            assert!(reader.missing().is_none());
            Ok(text.expose().clone())
        }
        None => Err(Error::from(reader.missing().expect("a reason")).to_string()),
    }
}

#[test]
fn what_is_not_there_yet_is_told_from_what_cannot_be_read() {
    let scratch = Scratch::new("reader-missing");
    let (fifo, file, none) = (scratch.path("fifo"), scratch.path("file"), scratch.path("none"));
    mknodat(CWD, &fifo, FileType::Fifo, Mode::from_raw_mode(0o600), 0).unwrap();
    std::fs::write(&file, "text\n").unwrap();
    for (waits, path, words) in [
        (false, &fifo, "when it is needed"),
        (false, &none, ": not found"),
        (false, &scratch.path("root"), "when it is needed"),
        (true, &fifo, "by the deadline"),
        (true, &file, "by the deadline"),
        (true, &none, ": not found"),
        (false, &file.join("below"), "cannot be read"),
    ] {
        let told = read(reader(waits), path).unwrap_err();
        assert!(told.contains(words) && told.contains(path.to_str().unwrap()), "{told}");
    }
    assert_eq!(read(reader(false), &file).unwrap(), "text\n");
}

#[test]
fn a_file_is_read_up_to_the_limit() {
    let scratch = Scratch::new("reader-limit");
    let (most, file) = (limits::FILE_BYTES, scratch.path("file"));
    for (length, is_read) in [(0, true), (8192, true), (8193, true), (most, true), (most + 1, false)] {
        std::fs::write(&file, vec![b'x'; length]).unwrap();
        assert_eq!(read(reader(false), &file).map(|text| text.len()).ok(), is_read.then_some(length));
    }
    std::fs::write(&file, b"\xff").unwrap();
    assert!(read(reader(false), &file).is_err());
}

/// In the place of a file's name there may be a secret.
#[test]
fn a_name_is_shown_once_it_is_a_path() {
    for (name, before, behind) in [
        ("/f", "--x: /f", "--x: /f"),
        ("-", "--x: standard input", "--x: standard input"),
        ("abcdef", "--x: the given file (not shown: it may be a secret)", "--x: abcdef"),
    ] {
        assert_eq!((shown("--x", name).as_str(), read_from("--x", name).as_str()), (before, behind));
    }
    let told = read(reader(false), Path::new("no-such-file")).unwrap_err();
    assert!(!told.contains("no-such-file"), "{told}");
}
