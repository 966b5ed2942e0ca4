//! Following logs: every kind of rotation by itself, all kinds mixed against a model, and the real multilog.

// The attribute tells the lints that all of it is test code, also what stands in no test function.
#[cfg(test)]
mod apart;
#[cfg(test)]
mod compressed;
#[cfg(test)]
mod lab;
#[cfg(test)]
mod load;
#[cfg(test)]
mod logrotate;
#[cfg(test)]
mod model;
#[cfg(test)]
mod multilog;
#[cfg(test)]
mod packing;
#[cfg(test)]
mod replacement;
#[cfg(test)]
mod replay;
#[cfg(test)]
mod rotation;
#[cfg(test)]
mod source;
#[cfg(test)]
mod trouble;
#[cfg(test)]
mod truncation;
