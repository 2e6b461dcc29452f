// The face for pages without modules: each script tag defines the function of its zone.

import type { ShowAd } from '../sdk.js'
import { getShow } from './handler.js'
import { folder } from './tag.js'

/** Call is one that was made before the script was there: its arguments, and how its Promise is settled. */
type Call = [args: Parameters<ShowAd>, resolve: (result: unknown) => void, reject: (why: unknown) => void]

const tags = document.querySelectorAll<HTMLScriptElement>('script[data-zone][src]')
// Some loaders run the script so that no tag is the current one. Then it is the last.
const tag: HTMLScriptElement | undefined = (document.currentScript as HTMLScriptElement | null) || tags[tags.length - 1]
const { zone, sdk } = tag?.dataset || {}

if (zone) {
  const page = window as unknown as Record<string, ShowAd & { q?: Call[] }>
  const name = sdk || 'show_' + zone
  const queue = page[name]?.q
  const show = getShow(folder(tag.src), zone)
  page[name] = show
  for (const [args, resolve, reject] of queue || []) show(...args).then(resolve, reject)
} else {
  console.error('carom: give the script tag the number of your zone: data-zone="123456"')
}
