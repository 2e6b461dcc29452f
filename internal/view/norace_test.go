//go:build !race

package view

const race = false
