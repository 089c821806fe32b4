//! Who waited and who had which permit, as a picture.

use crate::{PROCESSES, Page};

const COLUMNS: i64 = 64;

/// Prints a row for each process.
pub fn print(pages: &[Page], killed: i32) {
    let start = pages.iter().map(|page| page.asked).min().unwrap_or(0);
    let end = pages.iter().filter_map(|page| page.left).max().unwrap_or(start + 1);
    let total = format!("{} ms", (end - start) / 1000);
    println!("\n{:12}0 ms{total:>width$}", "", width = COLUMNS as usize - 4);
    let instant = |column: i64| start + (end - start) * (2 * column + 1) / (2 * COLUMNS);
    let columns = |from: i64, to: i64| (0..COLUMNS).filter(move |&column| (from..to).contains(&instant(column)));
    for process in 1..=PROCESSES {
        let mut bar = vec![b' '; COLUMNS as usize];
        for page in pages.iter().filter(|page| page.process == process) {
            let left = page.left.unwrap_or(end);
            let number = page.permit.bytes().last().unwrap_or(b'?');
            columns(page.asked, page.entered).for_each(|column| bar[column as usize] = b'.');
            columns(page.entered, left).for_each(|column| bar[column as usize] = number);
            if process == killed
                && let Some(last) = columns(page.entered, left).next_back()
            {
                bar[last as usize] = b'K';
            }
        }
        println!("process {process:<4}{}", String::from_utf8(bar).expect("only ASCII").trim_end());
    }
    println!("\n{:12}.... waits    222 has permit 2    K killed (kill -9)\n", "");
}
