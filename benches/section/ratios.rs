//! Ratios, from batches that take turns: whatever slows the machine down for a while slows all of them.

use std::time::Instant;

use crate::Contender;

const ROUNDS: usize = 101;
const BATCH: u32 = 100;

/// The first contender is the floor, the last what people write by hand.
pub fn print(contenders: &mut [Contender]) {
    let rounds: Vec<Vec<f64>> =
        (0..ROUNDS).map(|_| contenders.iter_mut().map(|contender| micros(&mut contender.section)).collect()).collect();
    let median_of = |value: &dyn Fn(&[f64]) -> f64| median(rounds.iter().map(|round| value(round)).collect());
    let last = contenders.len() - 1;

    println!("medians of {ROUNDS} interleaved batches of {BATCH} sections\n");
    println!("{:24}{:>10}{:>15}{:>18}", "", "µs", "of C client", "of by hand");
    for (index, Contender { title, .. }) in contenders.iter().enumerate() {
        println!(
            "{title:24}{:>10.1}{:>15.2}{:>18.2}",
            median_of(&|round| round[index]),
            median_of(&|round| round[index] / round[0]),
            median_of(&|round| round[index] / round[last]),
        );
    }
    println!("{:24}{:>10}{:>15}{:>18}", "the aim for ours", "", "≤ 1.10", "≤ 0.42");
}

fn micros(section: &mut dyn FnMut()) -> f64 {
    let start = Instant::now();
    for _ in 0..BATCH {
        section();
    }
    start.elapsed().as_secs_f64() * 1e6 / f64::from(BATCH)
}

fn median(mut values: Vec<f64>) -> f64 {
    values.sort_by(f64::total_cmp);
    values[values.len() / 2]
}
