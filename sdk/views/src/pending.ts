// The views whose ad was shown and whose end is not known yet, kept over a reload.

import type { View } from '../carom-views.js'

// More than a user has open; the bound keeps a faulty server from filling the storage.
const maxViews = 20

/**
 * keepPending keeps views in storage, under a key of their own for each server and app. `change` leaves one out, and puts
 * it at the end if it is to be kept. Where nothing can be kept, the list is empty.
 */
export const keepPending = (storage: Storage | null | undefined, owner: string) => {
  const key = 'carom.views ' + owner
  // A browser may refuse the storage itself, reading and writing: then a reload forgets, and all else works.
  const attempt = (act: (storage: Storage) => unknown): any => {
    try {
      // null has no methods either, so nothing is kept.
      return act(storage === undefined ? sessionStorage : storage!)
    } catch {
      return
    }
  }
  const list = (): View[] => attempt((s) => [...JSON.parse(s.getItem(key)!)]) || []
  const change = (view: View, keep: boolean) => {
    // The others are read anew each time: another call, or another tab, may have changed them.
    const views = list().filter(({ view_id }) => view_id != view.view_id)
    if (keep) views.push(view)
    attempt((s) => s.setItem(key, JSON.stringify(views.slice(-maxViews))))
  }
  return { list, change }
}
