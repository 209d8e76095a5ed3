// A client that does nothing but send requests: what `certtool inject --cluster` is timed
// against. See benches/README.md.
module certtool.dev/benches/bare-requests

go 1.26.0
