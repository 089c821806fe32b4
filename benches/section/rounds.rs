//! Batches that take turns: whatever slows the machine down for a while slows all of them.
//!
//! In an order that is new in each round: nobody always comes after one who leaves the processor's caches cold, or the
//! server with connections to clear away.

use crate::contenders::Contender;

pub const ROUNDS: usize = 301;

/// The microseconds of a section: one list for each round, in the contenders' order.
pub fn interleaved(contenders: &mut [Contender]) -> Vec<Vec<f64>> {
    let mut order: Vec<usize> = (0..contenders.len()).collect();
    let round = |_| {
        fastrand::shuffle(&mut order);
        let mut micros = vec![0.0; contenders.len()];
        for &index in &order {
            let Contender { batch, sections, .. } = &mut contenders[index];
            sections(batch.div_ceil(5));
            micros[index] = sections(*batch).as_secs_f64() * 1e6 / *batch as f64;
        }
        micros
    };
    (0..ROUNDS).map(round).collect()
}

pub fn median(values: impl Iterator<Item = f64>) -> f64 {
    let mut values: Vec<f64> = values.collect();
    values.sort_by(f64::total_cmp);
    values[values.len() / 2]
}
