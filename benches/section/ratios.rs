//! A table of this crate, the floor, and the same by hand.

use crate::{
    contenders::{Contender, FLOOR},
    rounds::{ROUNDS, interleaved, median},
};

/// The last contender is what people write by hand.
pub fn print(contenders: &mut [Contender]) {
    let rounds = interleaved(contenders);
    let median_of = |value: &dyn Fn(&[f64]) -> f64| median(rounds.iter().map(|round| value(round)));
    let last = contenders.len() - 1;

    println!("medians of {ROUNDS} interleaved batches of sections\n");
    println!("{:26}{:>10}{:>15}{:>18}", "", "µs", "of the floor", "of by hand");
    for (index, Contender { title, .. }) in contenders.iter().enumerate() {
        println!(
            "{title:26}{:>10.1}{:>15.2}{:>18.2}",
            median_of(&|round| round[index]),
            median_of(&|round| round[index] / round[FLOOR]),
            median_of(&|round| round[index] / round[last]),
        );
    }
    println!("{:26}{:>10}{:>15}{:>18}", "the aim for ours", "", "≤ 1.10", "≤ 0.42");
}
