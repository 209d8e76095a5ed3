module certtool.dev/benches/two_writes

go 1.24
