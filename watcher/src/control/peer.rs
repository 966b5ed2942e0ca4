//! Who may use the control socket: root, the user that runs the watcher, and the group `postern`.

use std::ffi::CString;

use nix::unistd::{Group, User, getgrouplist};
use tokio::net::unix::UCred;

/// The group whose members may ask and change.
const GROUP: &str = "postern";

/// True where the process at the other end may use the socket.
pub(super) fn may_use(peer: UCred) -> bool {
    if peer.uid() == 0 || peer.uid() == rustix::process::geteuid().as_raw() {
        return true;
    }
    let Ok(Some(group)) = Group::from_name(GROUP) else { return false };
    peer.gid() == group.gid.as_raw() || is_member(peer.uid(), group.gid)
}

/// Whether a user belongs to a group by the system's tables, whatever group the process runs under now.
fn is_member(uid: u32, group: nix::unistd::Gid) -> bool {
    let Ok(Some(user)) = User::from_uid(nix::unistd::Uid::from_raw(uid)) else { return false };
    let Ok(name) = CString::new(user.name) else { return false };
    getgrouplist(&name, user.gid).is_ok_and(|groups| groups.contains(&group))
}

/// The group that the socket belongs to, where there is one.
pub(crate) fn group() -> Option<u32> {
    Group::from_name(GROUP).ok().flatten().map(|group| group.gid.as_raw())
}
