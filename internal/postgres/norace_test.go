//go:build !race

package postgres

const race = false
