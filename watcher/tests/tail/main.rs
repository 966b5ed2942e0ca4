//! Following logs: every kind of rotation by itself, all kinds mixed against a model, and the real multilog.

mod lab;
mod model;
mod replay;
mod rotation;
mod source;
