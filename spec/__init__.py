"""The language, and with it what every room may read: the version of moec."""

VERSION = "0.1.0"
