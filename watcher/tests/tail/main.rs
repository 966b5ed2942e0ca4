//! Following logs: every kind of rotation by itself, all kinds mixed against a model, and the real multilog.

#[cfg(test)]
mod lab;
#[cfg(test)]
mod model;
#[cfg(test)]
mod replay;
#[cfg(test)]
mod rotation;
#[cfg(test)]
mod source;
