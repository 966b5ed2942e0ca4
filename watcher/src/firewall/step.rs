//! How one change is carried out, given what the kernel can and what stands already.

use std::time::Duration;

use ipnet::IpNet;
use rustix::io::Errno;

use super::element::{self, Place, Standing};
use super::layout::Shape;
use super::netlink::Messages;
use super::{Change, Ports};

/// How a ban is given a new deadline.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Renewal {
    /// By adding it again.
    InPlace,
    /// By deleting it first, where it stands.
    ByReplacing,
}

impl Renewal {
    /// What this kernel can.
    pub(super) fn of_this_kernel() -> Self {
        let release = rustix::system::uname();
        Self::of_kernel(&release.release().to_string_lossy())
    }

    /// Where the answer is no but should be yes, a ban costs one look-up more. Hence the release is enough to go by.
    fn of_kernel(release: &str) -> Self {
        let mut numbers = release.split(|c: char| !c.is_ascii_digit()).map(str::parse::<u32>);
        match (numbers.next(), numbers.next()) {
            (Some(Ok(major)), Some(Ok(minor))) if (major, minor) >= (6, 12) => Renewal::InPlace,
            _ => Renewal::ByReplacing,
        }
    }
}

/// A change, as the sets see it.
#[derive(Clone, Copy)]
pub(super) struct Step<'a> {
    /// The ban it is about.
    pub(super) place: Place<'a>,
    /// Nothing remains of a ban that ends.
    pub(super) remaining: Option<Duration>,
}

impl<'a> Step<'a> {
    /// Reads a change.
    pub(super) fn of(change: &'a Change) -> Self {
        let (place, remaining) = change.normal();
        Step { place, remaining }
    }

    /// The set that it changes.
    fn set(self) -> (Shape, &'a Ports) {
        (Shape::of(self.place.0), self.place.1)
    }

    /// What it adds to the set of `first`, where it is one more ban in that set.
    pub(super) fn added_beside(self, first: Step<'_>) -> Option<(IpNet, Duration)> {
        let remaining = self.remaining?;
        (self.set() == first.set()).then_some((self.place.0, remaining))
    }

    /// Writes it, or nothing where it would change nothing; `stands` tells whether the ban is in force.
    ///
    /// A transaction that fails costs the kernel some 20 ms, for it waits until no packet uses what it takes back. A
    /// look-up costs microseconds. So what could fail is looked up first.
    pub(super) fn write(
        self,
        m: &mut Messages,
        renewal: Renewal,
        stands: impl FnOnce() -> Result<bool, Errno>,
    ) -> Result<(), Errno> {
        match (self.remaining, renewal) {
            (Some(remaining), Renewal::InPlace) => {
                element::ban(m, self.place, remaining, Standing::Updated);
            }
            (Some(remaining), Renewal::ByReplacing) => {
                let standing = if stands()? { Standing::Replaced } else { Standing::Absent };
                element::ban(m, self.place, remaining, standing);
            }
            (None, _) => {
                if stands()? {
                    element::unban(m, self.place);
                }
            }
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn kernels_update_a_deadline_in_place_since_6_12() {
        for (release, expected) in [
            ("6.12.0", Renewal::InPlace),
            ("6.18.44-amd64", Renewal::InPlace),
            ("7.0-rc1", Renewal::InPlace),
            ("6.1.0-32-amd64", Renewal::ByReplacing),
            ("5.10.0", Renewal::ByReplacing),
            ("what", Renewal::ByReplacing),
            ("", Renewal::ByReplacing),
        ] {
            assert_eq!(Renewal::of_kernel(release), expected, "{release}");
        }
    }
}
