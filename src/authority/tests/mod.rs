//! A rotating CA, on fixed dates and in a simulation.

mod clocks;
mod continuity;
mod external;
mod fixtures;
mod planning;
mod reading;
mod repairing;
mod requesting;
mod scheduling;
mod simulation;
mod standing;
mod trusting;
