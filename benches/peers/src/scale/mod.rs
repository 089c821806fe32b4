//! What a section costs when there is much of something: processor time of client and server, which hardly depends on what
//! else the machine does.

mod held;
mod in_line;
mod sessions;

use crate::figure::Figure;

pub fn measure() -> Vec<Figure> {
    [in_line::measure(), sessions::measure(), held::measure()].into_iter().flatten().collect()
}
