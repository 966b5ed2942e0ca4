//! What the watcher gives up before it reads a line that a stranger wrote: capabilities, new privileges, the right to
//! write files, and calls of the system that it never makes. systemd's unit does much of this; here it is done wherever
//! the watcher is started from.
//!
//! Everything holds for what it starts as well: `journalctl`, which reads and writes nothing. The process of the hooks is
//! started before, and gives up what it does not need by itself. Programs that ban (`firewall = "command"`) may need
//! anything, so nothing is given up then.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use landlock::{
    ABI, Access as _, AccessFs, Ruleset, RulesetAttr as _, RulesetCreatedAttr as _, RulesetStatus,
    path_beneath_rules,
};
use rustix::thread::{
    CapabilitySet, CapabilitySets, capabilities, capability_is_in_bounding_set, clear_ambient_capability_set,
    remove_capability_from_bounding_set, set_capabilities, set_no_new_privs,
};
use seccompiler::{BpfProgram, SeccompAction, SeccompFilter};

use crate::config::{Config, FirewallKind, Origin};
use crate::syslog::Address;

/// To change the firewall, and to listen on a port below 1024 that a source names.
const NEEDED: CapabilitySet = CapabilitySet::NET_ADMIN.union(CapabilitySet::NET_BIND_SERVICE);
/// For who runs it as root: what lets root read and write what others own, and give a socket to a group.
const NEEDED_BY_ROOT: CapabilitySet =
    CapabilitySet::DAC_OVERRIDE.union(CapabilitySet::DAC_READ_SEARCH).union(CapabilitySet::CHOWN);

/// Gives up what is not needed. What this system cannot do is said, and is no reason not to start.
pub(super) fn confine(config: &Config) {
    if !config.sandbox {
        return tracing::warn!("sandbox = false: the watcher keeps all the rights that it was started with");
    }
    if matches!(config.firewall, FirewallKind::Command { .. }) {
        return tracing::info!(
            "firewall = \"command\": the programs may need any right, so none is given up"
        );
    }
    let writable = writable(config);
    let steps: [(&str, Result<(), String>); 4] = [
        ("drop capabilities", drop_capabilities()),
        ("refuse new privileges", set_no_new_privs(true).map_err(|error| error.to_string())),
        ("give up writing files (landlock)", restrict_files(&writable)),
        ("give up system calls (seccomp)", restrict_calls()),
    ];
    for (what, done) in steps {
        if let Err(why) = done {
            tracing::warn!("cannot {what}: {why}");
        }
    }
}

/// For the process of the hooks: no right to change the firewall, be it root's.
pub(crate) fn give_up_the_firewall() -> std::io::Result<()> {
    let mut sets = capabilities(None)?;
    if sets.effective.contains(CapabilitySet::SETPCAP) {
        remove_capability_from_bounding_set(CapabilitySet::NET_ADMIN)?;
    }
    clear_ambient_capability_set()?;
    if !sets.permitted.contains(CapabilitySet::NET_ADMIN) {
        return Ok(());
    }
    for set in [&mut sets.effective, &mut sets.permitted, &mut sets.inheritable] {
        set.remove(CapabilitySet::NET_ADMIN);
    }
    Ok(set_capabilities(None, sets)?)
}

fn drop_capabilities() -> Result<(), String> {
    let is_root = rustix::process::geteuid().is_root();
    let wanted = if is_root { NEEDED | NEEDED_BY_ROOT } else { NEEDED };
    let drop = || -> rustix::io::Result<()> {
        let has = capabilities(None)?;
        if has.effective.contains(CapabilitySet::SETPCAP) {
            for capability in CapabilitySet::all().difference(wanted).iter() {
                // Those that this kernel does not know are not there to be dropped.
                if capability_is_in_bounding_set(capability).unwrap_or(false) {
                    remove_capability_from_bounding_set(capability)?;
                }
            }
        }
        let kept = has.permitted & wanted;
        clear_ambient_capability_set()?;
        // A unit that gives no more than is needed leaves nothing to drop, and need not allow the call. What may be
        // inherited is nothing then: no program that is run carries capabilities of its own.
        if (has.effective, has.permitted) == (kept, kept) {
            return Ok(());
        }
        set_capabilities(
            None,
            CapabilitySets { effective: kept, permitted: kept, inheritable: CapabilitySet::empty() },
        )
    };
    drop().map_err(|error| error.to_string())
}

/// Where files are made and written: beside the database, the control socket, the file of words and the sockets of sources.
fn writable(config: &Config) -> Vec<PathBuf> {
    let mut paths = vec![config.database.clone(), config.socket.clone()];
    paths.extend(config.words.clone());
    paths.extend(config.sources.iter().filter_map(|source| match &source.origin {
        Origin::Syslog(Address::Socket(path) | Address::Stream(path)) => Some(path.clone()),
        Origin::Syslog(_) | Origin::File(_) | Origin::Journal(_) | Origin::Input => None,
    }));
    let mut directories: Vec<PathBuf> =
        paths.iter().filter_map(|path| path.parent()).map(Path::to_owned).collect();
    directories.sort_unstable();
    directories.dedup();
    // A rule can be about a directory only once it is there.
    for directory in &directories {
        if let Err(error) = std::fs::create_dir_all(directory) {
            tracing::debug!("cannot make {}: {error}", directory.display());
        }
    }
    directories
}

fn restrict_files(writable: &[PathBuf]) -> Result<(), String> {
    /// Linux 6.2; an older one does what it can.
    const VERSION: ABI = ABI::V3;
    let restrict = || -> Result<RulesetStatus, landlock::RulesetError> {
        let rules = Ruleset::default().handle_access(AccessFs::from_all(VERSION))?.create()?;
        // Anything may be read: which logs there are is said by the configuration, and it can be read again.
        let rules = rules.add_rules(path_beneath_rules(["/"], AccessFs::from_read(VERSION)))?;
        let rules = rules.add_rules(path_beneath_rules(writable, AccessFs::from_all(VERSION)))?;
        // Where the output of what is started goes.
        let rules = rules.add_rules(path_beneath_rules(["/dev/null"], AccessFs::from_all(VERSION)))?;
        Ok(rules.restrict_self()?.ruleset)
    };
    match restrict() {
        Ok(RulesetStatus::FullyEnforced | RulesetStatus::PartiallyEnforced) => Ok(()),
        Ok(RulesetStatus::NotEnforced) => Err("this kernel has no landlock".to_owned()),
        Err(error) => Err(error.to_string()),
    }
}

/// Refuses what neither the watcher nor `journalctl` ever does, and what one who took them over would begin with. A list
/// of what is allowed would be shorter to read, and would break with the next version of a library.
fn restrict_calls() -> Result<(), String> {
    let arch = std::env::consts::ARCH.try_into().map_err(|_| format!("not on {}", std::env::consts::ARCH))?;
    let rules: BTreeMap<i64, Vec<_>> =
        REFUSED.iter().chain(REFUSED_HERE).map(|call| (*call, Vec::new())).collect();
    let errno = u32::try_from(libc::EPERM).unwrap_or(1);
    let filter = SeccompFilter::new(rules, SeccompAction::Allow, SeccompAction::Errno(errno), arch);
    let program: BpfProgram =
        filter.and_then(TryInto::try_into).map_err(|error: seccompiler::BackendError| error.to_string())?;
    seccompiler::apply_filter_all_threads(&program).map_err(|error| error.to_string())
}

/// By what they are about: other processes; the kernel itself; mounts and namespaces; keys; clocks; names; swapping;
/// rings that pass by all of this.
const REFUSED: &[i64] = &[
    libc::SYS_ptrace,
    libc::SYS_process_vm_readv,
    libc::SYS_process_vm_writev,
    libc::SYS_pidfd_getfd,
    libc::SYS_kcmp,
    libc::SYS_bpf,
    libc::SYS_perf_event_open,
    libc::SYS_userfaultfd,
    libc::SYS_init_module,
    libc::SYS_finit_module,
    libc::SYS_delete_module,
    libc::SYS_kexec_load,
    libc::SYS_reboot,
    libc::SYS_mount,
    libc::SYS_umount2,
    libc::SYS_pivot_root,
    libc::SYS_chroot,
    libc::SYS_move_mount,
    libc::SYS_open_tree,
    libc::SYS_fsopen,
    libc::SYS_fsconfig,
    libc::SYS_fsmount,
    libc::SYS_fspick,
    libc::SYS_mount_setattr,
    libc::SYS_unshare,
    libc::SYS_setns,
    libc::SYS_open_by_handle_at,
    libc::SYS_fanotify_init,
    libc::SYS_quotactl,
    libc::SYS_add_key,
    libc::SYS_request_key,
    libc::SYS_keyctl,
    libc::SYS_settimeofday,
    libc::SYS_clock_settime,
    libc::SYS_clock_adjtime,
    libc::SYS_adjtimex,
    libc::SYS_sethostname,
    libc::SYS_setdomainname,
    libc::SYS_swapon,
    libc::SYS_swapoff,
    libc::SYS_acct,
    libc::SYS_personality,
    libc::SYS_io_uring_setup,
    libc::SYS_io_uring_enter,
    libc::SYS_io_uring_register,
];

/// Ports and device files, which not every machine knows.
#[cfg(target_arch = "x86_64")]
const REFUSED_HERE: &[i64] =
    &[libc::SYS_iopl, libc::SYS_ioperm, libc::SYS_mknod, libc::SYS_mknodat, libc::SYS_kexec_file_load];
#[cfg(not(target_arch = "x86_64"))]
const REFUSED_HERE: &[i64] = &[libc::SYS_mknodat];
