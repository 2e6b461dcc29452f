package books

import (
	"encoding/binary"
	"slices"
	"time"

	"carom"
)

// RecentView is a view whose ymid repeats, and which an event may still join.
type RecentView struct {
	First carom.Ref // its first event
	At    time.Time // of that
	Types []carom.EventType
}

// Join finds, among the recent views of one ymid, the latest that is younger than window and lacks an event of the type, or makes one
// of the event at ref. It returns the list as it is afterwards, a new one, without those that are as old as keep; and the first event of
// the view that the event belongs to.
func Join(list []RecentView, eventType carom.EventType, ref carom.Ref, at time.Time, window, keep time.Duration) ([]RecentView, carom.Ref) {
	for i, v := range slices.Backward(list) {
		if at.Sub(v.At) < window && !slices.Contains(v.Types, eventType) {
			return With(list, i, RecentView{v.First, v.At, append(slices.Clone(v.Types), eventType)}, keep), v.First
		}
	}
	return With(list, len(list), RecentView{ref, at, []carom.EventType{eventType}}, keep), ref
}

// With is the list with v at the place i, without the views that were made keep or longer before it.
func With(list []RecentView, i int, v RecentView, keep time.Duration) []RecentView {
	made := append(slices.Clone(list[:i]), v)
	made = append(made, list[min(i+1, len(list)):]...)
	return slices.DeleteFunc(made, func(o RecentView) bool { return v.At.Sub(o.At) >= keep })
}

// JoinedSum is what rewards of a view claim whose ymid repeats: claimed is the sum of all of them, first the view's first event.
func JoinedSum(claimed [16]byte, first carom.Ref) [16]byte {
	place := binary.BigEndian.AppendUint64(claimed[:], first.Uint64())
	if first.Node != 0 {
		place = binary.BigEndian.AppendUint16(place, first.Node)
	}
	return carom.SumOf("first", string(place))
}
