//! The bytes on disk: the golden drawing, and files of every version ever written.
