//! For test programs that are started as processes of their own, too, and so have their own `main`.

/// A module's tests, by their names.
#[macro_export]
macro_rules! trials {
    ($($test:ident),* $(,)?) => {
        pub fn trials() -> Vec<$crate::libtest_mimic::Trial> {
            vec![$($crate::libtest_mimic::Trial::test(stringify!($test), || { $test(); Ok(()) })),*]
        }
    };
}
