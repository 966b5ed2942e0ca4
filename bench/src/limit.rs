//! What is said of a limit, by every bench alike.

/// `held` or `missed`.
pub fn verdict(holds: bool) -> &'static str {
    if holds { "held" } else { "missed" }
}
