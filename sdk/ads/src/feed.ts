// Asking the server for an ad.

import type { AdResult } from '../sdk.js'
import type { Ad } from './creative.js'
import { CaromAdError } from './error.js'
import type { Ids } from './options.js'
import type { Answer } from './outbox.js'
import { post, sleep } from './request.js'
import { pageVisible } from './watch.js'

export type Format = 'rewarded_interstitial' | 'rewarded_popup' | 'in_app_interstitial'

/** Feed is what the server answers: an ad, or none. */
export interface Feed {
  zone_id: string
  sub_zone_id?: string
  confirmed?: boolean
  ymid?: string
  request_var?: string
  telegram_id?: string
  warnings?: string[]
  ad: Ad | null
}

export const version = '1.0.0'

// A user who has tapped does not wait for an ad any longer. Three tries with their pauses fit in.
const patienceMs = 15_000
const tries = 3

/** fetchFeed asks for an ad, a few times where that may help, and throws a CaromAdError. */
export const fetchFeed = async (
  server: string,
  zone: string,
  format: Format,
  ids: Ids,
  { stop, visible = pageVisible() }: { stop?: AbortSignal; visible?: boolean } = {},
): Promise<Feed> => {
  const until = performance.now() + patienceMs
  const abort = new AbortController()
  const end = () => abort.abort()
  const timer = setTimeout(end, patienceMs)
  stop?.addEventListener('abort', end)
  if (stop?.aborted) end()
  const body = {
    zone,
    format,
    ...ids,
    visible,
    automated: !!navigator.webdriver,
    width: window.innerWidth,
    height: window.innerHeight,
    sdk: version,
  }
  try {
    for (let failures = 0; ; ) {
      try {
        const feed: Feed = await post(server + 'sdk/ad', body, abort.signal)
        for (const warning of feed.warnings || []) console.warn(`carom: zone ${zone}: ${warning}`)
        return feed
      } catch (thrown) {
        const { code, retryMs } = thrown as CaromAdError
        const restMs = Math.max(500 << failures, retryMs || 0)
        if (retryMs === undefined || code == 'too_many' || ++failures == tries || abort.signal.aborted) throw thrown
        if (performance.now() + restMs > until) throw thrown
        await sleep(restMs)
      }
    }
  } finally {
    clearTimeout(timer)
    stop?.removeEventListener('abort', end)
  }
}

/** makeResult is what the app is told: what the server said of the showing, as far as that is known. */
export const makeResult = (zone: string, ids: Ids, feed?: Feed, shown?: boolean, answer?: Answer): AdResult => ({
  reward_event_type: answer?.reward_event_type == 'valued' ? 'valued' : 'not_valued',
  ...(answer?.estimated_price && { estimated_price: answer.estimated_price }),
  ...(shown && feed?.sub_zone_id && { sub_zone_id: feed.sub_zone_id }),
  zone_id: feed?.zone_id || zone,
  request_var: feed?.request_var ?? ids.request_var ?? '',
  ymid: feed?.ymid ?? ids.ymid ?? '',
  telegram_id: feed?.telegram_id ?? ids.telegram_id ?? '',
})
