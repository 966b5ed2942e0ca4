use super::*;

const MINUTE: u64 = 60;
const HOUR: u64 = 3600;

/// A source under observation, and its clock.
struct Ward {
    health: Health,
    now: Timestamp,
    seen: Seen,
    told: Vec<(u64, &'static str)>,
    seconds: u64,
}

impl Ward {
    fn new(patience: Patience) -> Ward {
        let now = Timestamp::from_seconds(1_795_233_600);
        let health = Health::new("log", patience, now);
        Ward { health, now, seen: Seen::default(), told: Vec::new(), seconds: 0 }
    }

    /// Lets time pass; a burst of lines comes each time after so many seconds.
    fn pass(&mut self, seconds: u64, burst_every: Option<u64>, lines: u64) -> &mut Self {
        for _ in 0..seconds / LOOK_EVERY.as_secs() {
            self.seconds += LOOK_EVERY.as_secs();
            if burst_every.is_some_and(|every| self.seconds.is_multiple_of(every)) {
                self.seen.lines += lines;
            }
            self.look(LOOK_EVERY);
        }
        self
    }

    fn look(&mut self, elapsed: Duration) {
        self.now = self.now + elapsed;
        let mut out = Vec::new();
        self.health.look(self.now, &self.seen, &mut out);
        self.told.extend(out.iter().map(|notice| (self.seconds, notice.kind())));
    }

    /// So many lines, of which so many are understood.
    fn lines(&mut self, lines: u64, understood: u64) -> &mut Self {
        self.seen.lines += lines;
        self.seen.unknown += lines - understood;
        self.look(LOOK_EVERY);
        self
    }

    #[track_caller]
    fn told(&mut self, expected: &[&str]) -> &mut Self {
        let told: Vec<&str> = std::mem::take(&mut self.told).iter().map(|(_, kind)| *kind).collect();
        assert_eq!(told, expected);
        self
    }
}

#[test]
fn a_lively_source_is_silent_after_ten_minutes_once() {
    let mut ward = Ward::new(Patience::Learned);
    ward.pass(HOUR, Some(10), 100).told(&[]);
    ward.pass(10 * MINUTE, None, 0).told(&[]);
    ward.pass(HOUR, None, 0).told(&["source-silent"]);
    assert!(ward.health.silent_for().is_some_and(|quiet| quiet >= Duration::from_secs(HOUR)));
    ward.pass(HOUR, Some(10), 1).told(&["source-back"]);
    assert_eq!(ward.health.silent_for(), None);
}

#[test]
fn a_source_that_speaks_in_bursts_is_silent_after_twenty_of_its_gaps() {
    let mut ward = Ward::new(Patience::Learned);
    ward.pass(20 * HOUR, Some(HOUR), 1000).told(&[]);
    ward.pass(19 * HOUR, None, 0).told(&[]);
    ward.pass(2 * HOUR, None, 0).told(&["source-silent"]);
}

#[test]
fn a_source_of_which_nothing_is_known_is_not_silent() {
    let mut ward = Ward::new(Patience::Learned);
    ward.pass(100 * HOUR, None, 0).told(&[]);
    ward.pass(HOUR, Some(HOUR), 1).pass(100 * HOUR, None, 0).told(&[]);
}

#[test]
fn how_long_silence_may_last_can_be_said() {
    let mut ward = Ward::new(Patience::For(Duration::from_secs(MINUTE)));
    ward.pass(2 * MINUTE, None, 0).told(&["source-silent"]);
    let mut ward = Ward::new(Patience::Endless);
    ward.pass(HOUR, Some(10), 1).pass(1000 * HOUR, None, 0).told(&[]);
}

#[test]
fn a_machine_that_slept_has_silenced_nobody() {
    let mut ward = Ward::new(Patience::Learned);
    ward.pass(HOUR, Some(10), 100);
    ward.look(Duration::from_secs(1000 * HOUR));
    ward.pass(5 * MINUTE, None, 0).told(&[]);
}

#[test]
fn a_source_that_ended_or_cannot_be_read_is_not_silent_as_well() {
    let mut ward = Ward::new(Patience::Learned);
    ward.pass(HOUR, Some(10), 100);
    ward.seen.trouble = Some("no journalctl".to_owned());
    ward.pass(HOUR, None, 0).told(&["source-trouble"]);
    ward.seen.trouble = None;
    ward.seen.end = Some("it has ended".to_owned());
    ward.pass(HOUR, None, 0).told(&["source-well", "source-ended"]);
}

#[test]
fn a_log_whose_format_changes_is_told_of_once_and_again_when_it_is_understood() {
    let mut ward = Ward::new(Patience::Learned);
    for _ in 0..20 {
        ward.lines(50, 40);
    }
    ward.told(&[]);
    ward.lines(10, 0).told(&[]);
    ward.lines(30, 1).told(&["parsing-stopped"]);
    assert!(ward.health.is_not_understood());
    for _ in 0..100 {
        ward.lines(50, 0);
    }
    ward.told(&[]);
    ward.lines(50, 45).told(&["parsing-back"]);
    assert!(!ward.health.is_not_understood());
}

#[test]
fn a_log_of_which_little_is_understood_is_judged_by_many_lines() {
    let mut ward = Ward::new(Patience::Learned);
    for _ in 0..100 {
        ward.lines(100, 1);
    }
    ward.lines(1000, 0).told(&[]);
    ward.lines(3000, 0).told(&["parsing-stopped"]);
}

#[test]
fn a_log_that_was_never_understood_has_not_stopped() {
    let mut ward = Ward::new(Patience::Learned);
    for _ in 0..1000 {
        ward.lines(1000, 0);
    }
    ward.lines(1000, 1000).told(&[]);
}

#[test]
fn a_loss_is_told_of_at_once_and_its_going_on_every_ten_minutes() {
    let mut ward = Ward::new(Patience::Endless);
    for _ in 0..HOUR / LOOK_EVERY.as_secs() {
        *ward.seen.lost.entry(Loss::Dropped).or_default() += 3;
        ward.look(LOOK_EVERY);
    }
    ward.told(&["lines-lost"; 6]);
    let mut out = Vec::new();
    ward.health.look(ward.now + Duration::from_secs(HOUR), &ward.seen, &mut out);
    let count = 3 * (HOUR / LOOK_EVERY.as_secs() - 1 - 5 * 60);
    assert_eq!(out, [Notice::LinesLost { source: "log".to_owned(), reason: Loss::Dropped, count }]);
}

#[test]
fn the_pace_is_that_of_the_last_minute() {
    let mut ward = Ward::new(Patience::Learned);
    ward.pass(HOUR, Some(10), 1000);
    for _ in 0..7 {
        ward.lines(50, 25);
    }
    let (lines, unknown) = (ward.seen.lines, ward.seen.unknown);
    let pace = ward.health.pace(ward.now, lines, unknown);
    assert_eq!(pace, Pace { lines_per_second: 5.0, unknown_share: Some(0.5) });
}
