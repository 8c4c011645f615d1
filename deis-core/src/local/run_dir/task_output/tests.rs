use super::*;

fn all(reader: &mut TaskLogReader) -> (Vec<u8>, u64) {
    let (mut bytes, mut lost) = (Vec::new(), 0);
    for item in reader.read(usize::MAX).unwrap() {
        match item.item {
            OutputItem::Output(chunk) => bytes.extend_from_slice(&chunk.bytes),
            OutputItem::Lost { bytes } => lost += bytes,
            other => panic!("{other:?}"),
        }
    }
    (bytes, lost)
}

#[test]
fn what_was_written_comes_back_from_any_cursor() {
    let folder = tempfile::tempdir().unwrap();
    let mut writer = TaskLogWriter::new(folder.path(), WhenFull::Drop);
    let mut reader = TaskLogReader::new(folder.path(), Cursor::START);
    let (mut written, mut read) = (Vec::new(), Vec::new());
    for n in 0..300u32 {
        let piece = vec![u8::try_from(n % 251).unwrap(); 1 + usize::try_from(n * 37 % 16_000).unwrap()];
        writer.append(OutputStream::Stdout, Timestamp(7), &piece);
        written.extend(piece);
        if n % 5 == 0 {
            read.extend(all(&mut reader).0);
        }
    }
    read.extend(all(&mut reader).0);
    assert_eq!(read, written);
    for from in [1, 17, 1_000_000, written.len()] {
        let mut reader = TaskLogReader::new(folder.path(), Cursor::from_raw(as_u64(from)));
        assert_eq!(all(&mut reader), (written[from..].to_vec(), 0));
    }
}

#[test]
fn a_small_read_from_far_into_a_segment_finds_what_is_there() {
    let folder = tempfile::tempdir().unwrap();
    let mut writer = TaskLogWriter::new(folder.path(), WhenFull::Hold);
    for _ in 0..30 {
        writer.append(OutputStream::Stdout, Timestamp(7), &[b'x'; MAX_CHUNK]);
    }
    let last = writer.position() - 1;
    let items = TaskLogReader::new(folder.path(), Cursor::from_raw(last)).read(1).unwrap();
    assert_eq!(items.len(), 1, "an empty answer would mean that nothing more is written");
}

#[test]
fn the_oldest_goes_and_is_counted() {
    let folder = tempfile::tempdir().unwrap();
    let mut writer = TaskLogWriter::new(folder.path(), WhenFull::Drop);
    for n in 0..2000u32 {
        writer.append(OutputStream::Stderr, Timestamp(7), &[u8::try_from(n % 251).unwrap(); MAX_CHUNK]);
    }
    let total = 2000 * as_u64(MAX_CHUNK);
    assert!(size(folder.path()) <= MAX_TASK_OUTPUT, "{}", size(folder.path()));
    let (bytes, lost) = all(&mut TaskLogReader::new(folder.path(), Cursor::START));
    assert_eq!(as_u64(bytes.len()) + lost, total);
    assert!(bytes.len() > 6 << 20, "{}", bytes.len());
    assert_eq!(tail(folder.path(), 20_000).len(), 2);
}

#[test]
fn what_is_held_waits_for_its_reader() {
    let folder = tempfile::tempdir().unwrap();
    let mut writer = TaskLogWriter::new(folder.path(), WhenFull::Hold);
    let mut written = 0;
    while writer.has_room() {
        writer.append(OutputStream::Stdout, Timestamp(7), &[b'x'; MAX_CHUNK]);
        written += MAX_CHUNK;
    }
    let (bytes, lost) = all(&mut TaskLogReader::new(folder.path(), Cursor::START));
    assert_eq!((bytes.len(), lost), (written, 0));
    writer.acknowledge(writer.position());
    assert!(writer.has_room());
}

#[test]
fn small_writes_cost_no_more_than_large_ones() {
    let folder = tempfile::tempdir().unwrap();
    let mut writer = TaskLogWriter::new(folder.path(), WhenFull::Drop);
    for _ in 0..600_000 {
        writer.append(OutputStream::Stdout, Timestamp(7), b"x");
    }
    assert!(size(folder.path()) <= MAX_TASK_OUTPUT, "{}", size(folder.path()));
}
