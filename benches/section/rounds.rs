//! Batches that take turns: whatever slows the machine down for a while slows all of them.

use crate::contenders::Contender;

pub const ROUNDS: usize = 101;

/// The microseconds of a section, of each contender in each round.
pub fn interleaved(contenders: &mut [Contender]) -> Vec<Vec<f64>> {
    (0..ROUNDS).map(|_| contenders.iter_mut().map(micros).collect()).collect()
}

fn micros(contender: &mut Contender) -> f64 {
    // The one before has had the processor's caches to itself.
    (contender.sections)(contender.batch.div_ceil(10));
    (contender.sections)(contender.batch).as_secs_f64() * 1e6 / contender.batch as f64
}

pub fn median(values: impl Iterator<Item = f64>) -> f64 {
    let mut values: Vec<f64> = values.collect();
    values.sort_by(f64::total_cmp);
    values[values.len() / 2]
}
