//! placeholder until merge
/// x
#[derive(Clone, Debug, PartialEq, Eq, serde::Serialize, serde::Deserialize)]
pub struct Cursor {
    /// p
    pub path: std::path::PathBuf,
    /// p
    pub offset: u64,
}
