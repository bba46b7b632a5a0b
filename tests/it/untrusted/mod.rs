//! A directory made by another user: nothing in it is followed, waited for, believed, or printed
//! unescaped.

mod files;
mod manifest;
mod options;
mod screen;
