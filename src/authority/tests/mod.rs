//! A rotating CA, on fixed dates and in a simulation.

mod fixtures;
mod planning;
mod reading;
mod repairing;
mod simulation;
mod standing;
mod trusting;
