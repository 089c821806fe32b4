//! The program `named-lock`, as its users run it: in a terminal, in a script, and as cron would, without an environment.
//!
//! `TEST_SERVER=mariadb` (the default) or `TEST_SERVER=mysql`.

mod breaking;
mod cron;
mod doctor;
mod families;
mod fenced;
mod init;
mod jobs;
mod listing;
mod login;
mod manual;
mod output;
mod quorum;
mod run;
mod several;
mod stage;
mod terminal;
mod top;
