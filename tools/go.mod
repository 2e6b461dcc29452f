module carom/tools

go 1.26.0
