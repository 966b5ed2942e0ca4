//! Programs of all that happens to logs, carried out on real files and in a model that knows which lines must come.
//!
//! A program mixes writing, rotating in every way, compressing, reading in small pieces, and ends of the tailer, in good
//! order or not. Every line must be delivered once: lost 0, duplicated 0. After an end without saved cursors, the lines
//! since the cursors come again, and no others. A loss is counted only where something was taken away.
//!
//! The programs of an ordinary run are always the same, so that a red test speaks of the change at hand. With
//! `TAIL_MODEL_PROGRAMS` so many new ones are drawn.

use std::fmt::Write as _;

use proptest::prelude::*;
use proptest::test_runner::{Config, RngAlgorithm, TestError, TestRng, TestRunner};

use crate::packing::Packer;

mod files;
mod play;

use play::Play;

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum World {
    /// One file; rotated files are numbered.
    File,
    /// One file; rotated files have a date.
    Dated,
    /// A link to a file, in another directory.
    Link,
    /// A link to a file with a date in its name, switched to the next.
    Switched,
    /// Two members of a glob.
    Glob,
    /// A multilog directory.
    Archives,
}

#[derive(Clone, Copy, Debug)]
enum Action {
    Write {
        log: usize,
        lines: u8,
    },
    WriteLong {
        log: usize,
    },
    WriteHalf {
        log: usize,
    },
    /// A write that the disk had no room for, taken back by its writer.
    TakeBack {
        log: usize,
    },
    Rotate {
        log: usize,
    },
    /// Rotations in a row, with a line in each file.
    RotateOften {
        log: usize,
        times: u8,
    },
    Reopen {
        log: usize,
    },
    CopyAndTruncate {
        log: usize,
    },
    Truncate {
        log: usize,
    },
    Compress {
        log: usize,
        nth: usize,
        packer: Packer,
    },
    Delete {
        log: usize,
    },
    MoveIntoPlace {
        log: usize,
        lines: u8,
    },
    Prune {
        log: usize,
    },
    Read {
        bytes: usize,
    },
    ReadAll,
    Save,
    Stop,
    Kill,
    Run,
}

fn actions() -> impl Strategy<Value = Action> {
    let log = 0..2usize;
    let packer = prop::sample::select(Packer::ALL.to_vec());
    prop_oneof![
        10 => (log.clone(), 1..6u8).prop_map(|(log, lines)| Action::Write { log, lines }),
        1 => log.clone().prop_map(|log| Action::WriteLong { log }),
        3 => log.clone().prop_map(|log| Action::WriteHalf { log }),
        2 => log.clone().prop_map(|log| Action::TakeBack { log }),
        6 => log.clone().prop_map(|log| Action::Rotate { log }),
        1 => (log.clone(), 2..21u8).prop_map(|(log, times)| Action::RotateOften { log, times }),
        4 => log.clone().prop_map(|log| Action::Reopen { log }),
        3 => log.clone().prop_map(|log| Action::CopyAndTruncate { log }),
        1 => log.clone().prop_map(|log| Action::Truncate { log }),
        5 => (log.clone(), 0..4usize, packer)
            .prop_map(|(log, nth, packer)| Action::Compress { log, nth, packer }),
        2 => log.clone().prop_map(|log| Action::Delete { log }),
        2 => (log.clone(), 0..4u8).prop_map(|(log, lines)| Action::MoveIntoPlace { log, lines }),
        2 => log.prop_map(|log| Action::Prune { log }),
        5 => (1..300usize).prop_map(|bytes| Action::Read { bytes }),
        5 => Just(Action::ReadAll),
        2 => Just(Action::Save),
        2 => Just(Action::Stop),
        2 => Just(Action::Kill),
        3 => Just(Action::Run),
    ]
}

fn worlds() -> impl Strategy<Value = World> {
    prop_oneof![
        Just(World::File),
        Just(World::Dated),
        Just(World::Link),
        Just(World::Switched),
        Just(World::Glob),
        Just(World::Archives)
    ]
}

fn run(world: World, program: &[Action]) -> Result<(), TestCaseError> {
    let mut play = Play::new(world);
    for &action in program {
        play.act(action)?;
    }
    play.end()
}

/// The program as it would be told, a line an action.
fn told(world: World, program: &[Action]) -> String {
    let mut text = format!("in World::{world:?}:\n");
    for (number, action) in (1..).zip(program) {
        let _ = writeln!(text, "{number:>4} Action::{action:?},");
    }
    text
}

#[test]
fn every_line_is_delivered_once_whatever_happens() {
    let wanted = std::env::var("TAIL_MODEL_PROGRAMS").ok();
    let cases = wanted.as_ref().map_or(200, |number| number.parse().unwrap());
    let config = Config { cases, failure_persistence: None, ..Config::default() };
    let mut runner = match wanted {
        Some(_) => TestRunner::new(config),
        None => TestRunner::new_with_rng(config, TestRng::deterministic_rng(RngAlgorithm::ChaCha)),
    };
    let programs = (worlds(), prop::collection::vec(actions(), 1..60));
    match runner.run(&programs, |(world, program)| run(world, &program)) {
        Ok(()) => {}
        Err(TestError::Fail(reason, (world, program))) => panic!("{reason}, {}", told(world, &program)),
        Err(TestError::Abort(reason)) => panic!("{reason}"),
    }
}

/// A program that went wrong once.
#[track_caller]
fn check(world: World, program: &[Action]) {
    if let Err(failure) = run(world, program) {
        panic!("{failure}, {}", told(world, program));
    }
}

#[test]
fn a_copy_whose_original_was_renamed_during_a_restart_comes_first() {
    let program = [
        Action::Write { log: 0, lines: 1 },
        Action::MoveIntoPlace { log: 0, lines: 3 },
        Action::Write { log: 0, lines: 5 },
        Action::Read { bytes: 5 },
        Action::CopyAndTruncate { log: 0 },
        Action::Write { log: 0, lines: 1 },
        Action::Read { bytes: 1 },
        Action::Stop,
        Action::Rotate { log: 0 },
    ];
    check(World::File, &program);
}

#[test]
fn the_second_copy_is_read_where_the_first_is_gone() {
    let program = [
        Action::Write { log: 0, lines: 1 },
        Action::Read { bytes: 5 },
        Action::Stop,
        Action::CopyAndTruncate { log: 0 },
        Action::Write { log: 0, lines: 1 },
        Action::Prune { log: 0 },
        Action::CopyAndTruncate { log: 0 },
    ];
    check(World::File, &program);
}

#[test]
fn what_was_read_to_its_end_and_compressed_is_not_read_after_two_restarts() {
    let compress = Action::Compress { log: 0, nth: 0, packer: Packer::Gzip };
    let program = [
        Action::Write { log: 0, lines: 1 },
        compress,
        compress,
        compress,
        compress,
        Action::Write { log: 0, lines: 1 },
        Action::Read { bytes: 1 },
        compress,
        Action::Read { bytes: 11 },
        Action::Stop,
        Action::Run,
        Action::Stop,
    ];
    check(World::Archives, &program);
}

#[test]
fn a_second_copy_that_was_compressed_is_read_before_its_original() {
    let program = [
        Action::Write { log: 0, lines: 1 },
        Action::Read { bytes: 5 },
        Action::Save,
        Action::CopyAndTruncate { log: 0 },
        Action::Write { log: 0, lines: 1 },
        Action::CopyAndTruncate { log: 0 },
        Action::Rotate { log: 0 },
        Action::Kill,
        Action::Compress { log: 0, nth: 1, packer: Packer::Gzip },
    ];
    check(World::File, &program);
}
