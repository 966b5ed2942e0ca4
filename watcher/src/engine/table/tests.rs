//! A table keeps what a map would, in little room.

use std::collections::BTreeMap;

use proptest::prelude::*;

use super::*;

const SHAPE: Shape = Shape { value: true, mark: true, level: true, hits: 20 };

fn hit(at: u64) -> Hit {
    let line = u32::try_from(at % 1000).unwrap();
    Hit { at, line, weight: 3, value: line + 1, mark: line + 2 }
}

#[derive(Clone, Debug)]
enum Step {
    Store(u8, Vec<u64>, u64),
    Remove(u8),
}

fn step() -> impl Strategy<Value = Step> {
    let times = prop::collection::btree_set(1_700_000_000_000u64..1_700_003_000_000, 0..20);
    let times = times.prop_map(|times| times.into_iter().collect());
    prop_oneof![
        4 => (0u8..30, times, any::<u64>()).prop_map(|(key, times, level)| Step::Store(key, times, level)),
        1 => (0u8..30).prop_map(Step::Remove),
    ]
}

proptest! {
    #[test]
    fn a_table_keeps_what_a_map_would(steps in prop::collection::vec(step(), 1..120)) {
        let mut table = Table::new(SHAPE);
        let mut model: BTreeMap<u128, (Vec<Hit>, u64)> = BTreeMap::new();
        for step in steps {
            match step {
                Step::Store(key, times, level) => {
                    let key = u128::from(key) << 70;
                    let hits: Vec<Hit> = times.into_iter().map(hit).collect();
                    if hits.is_empty() {
                        table.remove(key);
                        model.remove(&key);
                    } else {
                        table.store(key, table.find(key), &hits, level);
                        model.insert(key, (hits, level));
                    }
                }
                Step::Remove(key) => {
                    let key = u128::from(key) << 70;
                    prop_assert_eq!(table.remove(key).is_some(), model.remove(&key).is_some());
                }
            }
            prop_assert_eq!(table.len(), model.len());
        }
        let mut hits = Vec::new();
        for (key, (expected, level)) in &model {
            let handle = table.find(*key).unwrap();
            table.load(handle, &mut hits);
            prop_assert_eq!(&hits, expected);
            prop_assert_eq!(table.level(handle), *level);
        }
        prop_assert_eq!(table.keys().count(), model.len());
    }
}

#[test]
fn what_the_database_has_is_known_until_the_key_is_gone() {
    let mut table = Table::new(SHAPE);
    assert!(table.store(1, None, &[hit(1)], 0));
    let handle = table.find(1).unwrap();
    table.noted(handle, true);
    // A list that outgrows its block takes the knowledge with it.
    let many: Vec<Hit> = (1..15).map(hit).collect();
    assert!(table.store(1, Some(handle), &many, 0));
    assert!(!table.store(1, table.find(1), &many, 0));
    assert!(table.is_stored(table.find(1).unwrap()));
    assert_eq!(table.remove(1), Some(true));
    assert!(table.store(1, None, &[hit(1)], 0));
    assert_eq!(table.remove(1), Some(false));
    assert_eq!(table.remove(1), None);
}

#[test]
fn a_stamp_that_runs_over_its_low_half_is_read_back() {
    let mut table = Table::new(SHAPE);
    let over = 400u64 << 32;
    table.store(1, None, &[hit(over - 5), hit(over + 5)], 0);
    let mut hits = Vec::new();
    table.load(table.find(1).unwrap(), &mut hits);
    assert_eq!(hits.iter().map(|hit| hit.at).collect::<Vec<_>>(), [over - 5, over + 5]);
}

#[test]
fn a_million_addresses_take_less_than_100_bytes_each() {
    // The shape of password-guessing: four hits below the fifth, each with a fingerprint and a user.
    let shape = Shape { value: true, mark: true, level: false, hits: 8 };
    for (shape, bytes) in [(shape, 100), (Shape { value: false, mark: false, ..shape }, 80)] {
        let mut table = Table::new(shape);
        let hits: Vec<Hit> = (0..4).map(|n| hit(1_700_000_000_000 + n)).collect();
        for key in 0..1_000_000 {
            table.store(key, None, &hits, 0);
        }
        assert!(table.size_bytes() <= bytes * 1_000_000, "{} bytes", table.size_bytes());
    }
}
