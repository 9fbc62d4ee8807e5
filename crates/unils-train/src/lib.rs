//! Training data, training and evaluation of the UniLS models.
//!
//! The way of the data: [`data`] (recordings to batches of clips) → [`masks`] (what a step leaves out or spoils) →
//! [`loss`] and [`speech`] (what it minimises) → [`exchange`] (gradients of several devices) → [`optim`] (how parameters move). A
//! [`recipe`] gives a stage's numbers, [`start`] the weights before its first step, [`plan`] says which of them it
//! trains, [`trainer`] goes through the steps and keeps them in a [`run`]'s folder.
//! [`evaluate`] scores what came of it, [`ablate`] trains and scores the variants of the recipe.

pub mod ablate;
pub mod answers;
pub mod data;
pub mod evaluate;
pub mod evidence;
pub mod exchange;
pub mod face_loss;
pub mod loss;
pub mod masks;
pub mod noise;
pub mod optim;
pub mod plan;
pub mod recipe;
pub mod run;
pub mod speech;
pub mod start;
pub mod timbre;
pub mod trainer;
