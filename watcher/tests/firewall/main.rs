//! The firewall, judged by the kernel: by packets that arrive or do not, and by what `nft` lists.

#[cfg(test)]
mod bans;
#[cfg(test)]
mod command;
#[cfg(test)]
mod connections;
#[cfg(test)]
mod damage;
#[cfg(test)]
mod manner;
#[cfg(test)]
mod model;
#[cfg(test)]
mod namespace;
