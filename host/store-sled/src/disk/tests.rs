//! What is gathered, what reaches sled, and what a crash in between leaves.

use std::collections::BTreeMap;

use super::*;

#[test]
fn what_is_gathered_does_not_grow_without_end() {
    let dir = tempfile::tempdir().unwrap();
    let tuning = Tuning {
        gather_bytes: 5_000,
        ..Tuning::default()
    };
    let options = Options {
        tuning,
        ..Options::default()
    };
    let disk = Disk::open(dir.path(), &options).unwrap();
    for number in 0..100 {
        let mut writes = Writes::default();
        writes.put_new(keys::checkpoint(number), &[0; 500]);
        disk.apply(writes).unwrap();
        assert!(disk.look().bytes <= 5_000);
        if number % 3 == 0 {
            disk.flush().unwrap();
            assert!(disk.look().bytes <= 2_500);
        }
    }
    let found = disk.rows().get(&keys::checkpoint(7)).unwrap();
    assert_eq!(found.unwrap(), [0; 500]);
}

fn write(disk: &Disk, with: impl FnOnce(&mut Writes)) {
    let mut writes = Writes::default();
    with(&mut writes);
    disk.apply(writes).unwrap();
    disk.flush().unwrap();
}

#[test]
fn what_comes_and_goes_never_reaches_sled_and_the_log_still_follows_on() {
    let dir = tempfile::tempdir().unwrap();
    let tuning = Tuning {
        wal_bytes: 4_000,
        ..Tuning::default()
    };
    let options = Options {
        tuning,
        ..Options::default()
    };
    let key = || keys::checkpoint(1);
    for _ in 0..3 {
        let disk = Disk::open(dir.path(), &options).unwrap();
        // Through several logs.
        for _ in 0..200 {
            write(&disk, |writes| writes.put_first(key(), b"comes"));
            let found = disk.rows().get(&key()).unwrap();
            assert_eq!(found.as_deref(), Some(&b"comes"[..]));
            write(&disk, |writes| writes.remove_short(key()));
            assert_eq!(disk.rows().get(&key()).unwrap(), None);
            assert!(disk.look().is_settled());
        }
    }
}

/// What sled has, key by key.
fn rows_of(db: &sled::Db) -> Rows {
    let rows = db.iter().map(Result::unwrap);
    rows.map(|(key, value)| (key.to_vec(), value.to_vec()))
        .collect()
}

type Rows = BTreeMap<Vec<u8>, Vec<u8>>;

/// What an opening makes of what a crash left, but for how far sled has come.
fn opened(rows: &Rows, log: &[u8]) -> Rows {
    let dir = tempfile::tempdir().unwrap();
    let db = sled::open(dir.path()).unwrap();
    for (key, value) in rows {
        db.insert(key.as_slice(), value.as_slice()).unwrap();
    }
    drop(db);
    std::fs::write(dir.path().join("wal"), log).unwrap();
    let disk = Disk::open(dir.path(), &Options::default()).unwrap();
    without_applied(rows_of(&disk.db))
}

fn without_applied(mut rows: Rows) -> Rows {
    rows.remove(keys::applied().as_ref());
    rows
}

#[test]
fn a_crash_between_two_keys_on_their_way_to_sled_loses_nothing() {
    let dir = tempfile::tempdir().unwrap();
    let disk = Disk::open(dir.path(), &Options::default()).unwrap();
    let key = keys::checkpoint;
    for number in 0..10 {
        write(&disk, |writes| writes.put_new(key(number), b"old"));
    }
    disk.settle().unwrap();
    for number in 0..5 {
        write(&disk, |writes| {
            writes.put_new(key(2 * number), &[7; 9000]);
            writes.remove_short(key(2 * number + 1));
            writes.put_first(key(100 + number), b"new");
        });
        write(&disk, |writes| {
            writes.put_over(2, key(2 * number), b"later");
        });
    }
    let mut changed: Vec<_> = disk.look().changed.clone().into_iter().collect();
    changed.sort_unstable_by(|(one, _), (other, _)| one.cmp(other));
    let log = std::fs::read(dir.path().join("wal")).unwrap();
    let mut reached = rows_of(&disk.db);
    disk.settle().unwrap();
    let all = without_applied(rows_of(&disk.db));
    assert_eq!((reached.len(), changed.len(), all.len()), (11, 25, 10));

    for (key, written) in changed {
        assert!(opened(&reached, &log) == all, "before {key:?}");
        match written.value() {
            Some(value) => reached.insert(key.to_vec(), value.to_vec()),
            None => reached.remove(key.as_ref()),
        };
    }
    assert!(opened(&reached, &log) == all);
}

#[test]
fn after_any_flush_a_crash_leaves_what_was_flushed() {
    let dir = tempfile::tempdir().unwrap();
    let tuning = Tuning {
        wal_bytes: 3_000,
        gather_bytes: 600,
        ..Tuning::default()
    };
    let options = Options {
        tuning,
        ..Options::default()
    };
    let disk = Disk::open(dir.path(), &options).unwrap();
    let (mut expected, mut noise) = (Rows::new(), 7_u64);
    let mut ahead = 0;
    for step in 0..600_u64 {
        noise = noise.wrapping_mul(6_364_136_223_846_793_005) + 1;
        let key = keys::checkpoint(noise >> 59);
        let value = step.to_le_bytes().repeat(1 + (noise >> 50) as usize % 8);
        let stored = [&[view::WHOLE][..], &value].concat();
        let mut writes = Writes::default();
        match expected.contains_key(key.as_ref()) {
            true if noise >> 40 & 1 == 0 => {
                expected.remove(key.as_ref());
                writes.remove_short(key);
            }
            true => {
                expected.insert(key.as_ref().to_vec(), stored);
                writes.put_new(key, &value);
            }
            false => {
                expected.insert(key.as_ref().to_vec(), stored);
                writes.put_first(key, &value);
            }
        }
        disk.apply(writes).unwrap();
        for (key, value) in &expected {
            let found = disk.rows().get(&keys::Key::stored(key)).unwrap().unwrap();
            assert_eq!(*found, value[1..]);
        }
        if noise >> 30 & 3 == 0 {
            continue;
        }
        disk.flush().unwrap();
        let rows = rows_of(&disk.db);
        let state = disk.look();
        // Written over since they were set apart, and so in the log alone.
        ahead += usize::from(!state.older.is_empty() && state.settled < state.older_number);
        drop(state);
        let log = std::fs::read(dir.path().join("wal")).unwrap();
        assert!(opened(&rows, &log) == expected, "step {step}");
    }
    assert!(ahead > 100, "{ahead}");
}

#[test]
fn only_what_is_flushed_goes_to_sled_key_by_key() {
    let dir = tempfile::tempdir().unwrap();
    let disk = Disk::open(dir.path(), &Options::default()).unwrap();
    let is_flushed = || disk.look().is_flushed();
    for (len, number) in [(10, 1), (RECORD_MAX, 2), (LONG_MAX, 3)] {
        assert!(is_flushed());
        let mut writes = Writes::default();
        writes.put_new(keys::checkpoint(number), &vec![0; len]);
        disk.apply(writes).unwrap();
        assert!(!is_flushed());
        disk.settle().unwrap();
        assert!(!is_flushed());
        disk.flush().unwrap();
    }
    assert!(is_flushed());
}

#[test]
fn what_sled_has_heard_of_is_removed_there() {
    let dir = tempfile::tempdir().unwrap();
    let key = || keys::checkpoint(1);
    let disk = Disk::open(dir.path(), &Options::default()).unwrap();
    write(&disk, |writes| writes.put_first(key(), b"1"));
    disk.settle().unwrap();
    // It is there, so it may not be forgotten.
    write(&disk, |writes| writes.remove_short(key()));
    write(&disk, |writes| writes.put_first(key(), b"2"));
    write(&disk, |writes| writes.remove_short(key()));
    disk.settle().unwrap();
    assert_eq!(disk.db.get(key()).unwrap(), None);

    write(&disk, |writes| writes.put_first(key(), b"3"));
    write(&disk, |writes| writes.put_new(key(), b"4"));
    let found = disk.rows().get(&key()).unwrap();
    assert_eq!(found.as_deref(), Some(&b"4"[..]));
    write(&disk, |writes| writes.remove_short(key()));
    assert!(disk.look().is_settled());
    drop(disk);
    let disk = Disk::open(dir.path(), &Options::default()).unwrap();
    assert_eq!(disk.rows().get(&key()).unwrap(), None);
}

#[test]
fn after_a_write_that_failed_lookups_find_all_and_nothing_is_left_out_of_a_list() {
    let dir = tempfile::tempdir().unwrap();
    let disk = Disk::open(dir.path(), &Options::default()).unwrap();
    let (one, other) = (keys::checkpoint(1), keys::checkpoint(2));
    write(&disk, |writes| writes.put_new(keys::checkpoint(1), b"one"));
    disk.settle().unwrap();
    write(&disk, |writes| writes.put_new(keys::checkpoint(2), b"two"));
    let full = StoreError::Backend("the disk is full".into());
    disk.change().failed = Some(full.clone());
    let view = disk.view();
    for (key, value) in [(&one, b"one"), (&other, b"two")] {
        assert_eq!(view.get(key).unwrap().unwrap(), value);
    }
    let listed: Vec<_> = view.range(&one, &other.after_prefix()).collect();
    assert_eq!(listed, [Err(full.clone())]);
    assert_eq!(view.at_or_before(&one, &other), Err(full.clone()));
    drop(view);
    let mut writes = Writes::default();
    writes.put_new(keys::checkpoint(3), b"three");
    assert_eq!(disk.apply(writes), Err(full));
}
