//! Training data, training and evaluation of the UniLS models.
//!
//! The way of the data: [`data`] (recordings to batches of clips) → [`masks`] (what a step leaves out or spoils) →
//! [`loss`] (what it minimises) → [`optim`] (how parameters move); [`plan`] says which parameters a stage trains.

pub mod data;
pub mod loss;
pub mod masks;
pub mod optim;
pub mod plan;
