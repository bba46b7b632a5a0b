//! A directory that somebody else has made: nothing in it is followed, waited for, believed, or shown as it is.

mod files;
mod manifest;
mod options;
mod screen;
