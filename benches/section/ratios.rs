//! A table of ours beside the floor and beside what people write by hand.

use crate::{
    contenders::Contender,
    rounds::{ROUNDS, interleaved, median},
};

/// The first contender is the floor, the last what people write by hand.
pub fn print(contenders: &mut [Contender]) {
    let rounds = interleaved(contenders);
    let median_of = |value: &dyn Fn(&[f64]) -> f64| median(rounds.iter().map(|round| value(round)));
    let last = contenders.len() - 1;

    println!("medians of {ROUNDS} interleaved batches of sections\n");
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
