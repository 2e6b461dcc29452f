// The function that an app calls to show ads of a zone.

import type { AdResult, ShowAd } from '../sdk.js'
import { loadImage, webURL } from './creative.js'
import { CaromAdError } from './error.js'
import { type Feed, fetchFeed, type Format, makeResult } from './feed.js'
import { startInApp } from './inapp.js'
import { type Asked, type Ids, readOptions } from './options.js'
import { sleep } from './request.js'
import { openPopup, type Popup, type Report, type Showing, showOver } from './showing.js'
import { pageVisible } from './watch.js'

/** Ready is an ad that was fetched, with the image that goes with it. */
interface Ready {
  feed: Feed
  image?: HTMLImageElement
  ids: Ids
  at: number
}

/** Shared is what all scripts of the page have in common: a tag for each zone runs the script anew. */
interface Shared {
  busy: boolean
  shows: Map<string, ShowAd>
}

const shared = (): Shared => {
  const page = globalThis as unknown as Record<symbol, Shared | undefined>
  return (page[Symbol.for('carom.ads')] ||= { busy: false, shows: new Map() })
}

// After this the server may have forgotten what it offered, and the ad may be another one's turn.
const freshMs = 600_000

// How long a popup's Promise waits for the server's word in a zone that is not confirmed.
const popupMs = 1500

const noFeed = () => new CaromAdError('no_feed', 'there is no ad right now')

/** getShow returns the function for a zone, always the same one. `server` ends with a slash. */
export const getShow = (server: string, zone: string): ShowAd => {
  const { shows } = shared()
  const key = server + ' ' + zone
  const show = shows.get(key) || makeShow(server, zone)
  shows.set(key, show)
  return show
}

const makeShow = (server: string, zone: string): ShowAd => {
  let preloaded: Promise<Ready | undefined> | undefined
  let stopInApp: (() => void) | undefined

  /** lock keeps other ads away until the function that it returns is called. */
  const lock = () => {
    const page = shared()
    if (page.busy) throw new CaromAdError('busy', 'an ad is being shown: wait until it is gone')
    page.busy = true
    let mine = true
    return () => {
      if (mine) mine = page.busy = false
    }
  }

  /** load fetches an ad with its image. It returns nothing when there is none. */
  const load = async (format: Format, ids: Ids, stop?: AbortSignal): Promise<Ready> => {
    const feed = await fetchFeed(server, zone, format, ids, { stop })
    const { ad } = feed
    const image = ad?.image ? await loadImage(ad) : undefined
    if (ad && !image && !(ad.html && !ad.image)) feed.ad = null
    return { feed, image, ids, at: performance.now() }
  }

  /** fits says whether an ad that was loaded ahead is what a later call asks for. */
  const fits = (ready: Ready | undefined, { ids, ownYmid }: Asked) =>
    ready?.feed.ad &&
    performance.now() - ready.at < freshMs &&
    (!ownYmid || ids.ymid == ready.ids.ymid) &&
    (!ids.request_var || ids.request_var == ready.ids.request_var)

  /** ahead returns the ad that was loaded ahead, once it has come, if it is the right one. */
  const ahead = async (asked: Asked) => {
    const ready = await preloaded
    return fits(ready, asked) ? ready : undefined
  }

  /** none is the end of a call that found no ad. */
  const none = ({ ids, catchIfNoFeed }: Asked, feed?: Feed): AdResult => {
    if (catchIfNoFeed) throw noFeed()
    return makeResult(zone, ids, feed)
  }

  const preload = async (asked: Asked): Promise<AdResult> => {
    const abort = new AbortController()
    const find = async () => (await ahead(asked)) || load('rewarded_interstitial', asked.ids, abort.signal)
    const finding = find()
    const mine = finding.catch(() => undefined)
    preloaded = mine
    let timer: ReturnType<typeof setTimeout> | undefined
    const late = new Promise<never>((_, reject) => {
      if (!asked.timeoutMs) return
      timer = setTimeout(() => {
        reject(new CaromAdError('timeout', `there was no ad within ${asked.timeoutMs / 1000} seconds`))
        if (preloaded == mine) preloaded = undefined
        abort.abort()
      }, asked.timeoutMs)
    })
    try {
      const { feed, ids } = await Promise.race([finding, late])
      return feed.ad ? makeResult(zone, ids, feed, true) : none(asked, feed)
    } finally {
      clearTimeout(timer)
    }
  }

  const over = async (asked: Asked): Promise<AdResult> => {
    const unlock = lock()
    let ready: Ready
    let showing: Showing | null | undefined
    try {
      ready = (await ahead(asked)) || (await load('rewarded_interstitial', asked.ids))
      preloaded = undefined
      const { ad } = ready.feed
      showing = ad && (await showOver(server, ad, true, ready.image))
    } finally {
      if (!showing) unlock()
    }
    if (!showing) return none(asked, ready.feed)
    const { begun, closed } = showing
    void closed.then(unlock)
    const end = asked.type == 'end'
    const report = await (end ? closed : Promise.race([begun, closed]))
    if (!report) return none(asked, ready.feed)
    if (end && ready.feed.confirmed) await report.decided
    return makeResult(zone, ready.ids, ready.feed, true, report.answer())
  }

  const pop = async (asked: Asked): Promise<AdResult> => {
    const unlock = lock()
    let popup: Popup | undefined
    let feed: Feed
    let report: Report | undefined
    try {
      const visible = pageVisible() // it may not be once the window is there
      popup = openPopup()
      feed = await fetchFeed(server, zone, 'rewarded_popup', asked.ids, { visible })
      const url = webURL(feed.ad?.landing_url)
      if (feed.ad && url) report = popup.show(server, feed.ad, url)
    } finally {
      if (!report) popup?.close()
      unlock()
    }
    if (!report) return none(asked, feed)
    // The server's word mostly comes with the start.
    await (feed.confirmed ? report.decided : Promise.race([report.decided.catch(() => {}), sleep(popupMs)]))
    return makeResult(zone, asked.ids, feed, true, report.answer())
  }

  const inApp = async (asked: Asked): Promise<AdResult> => {
    stopInApp?.()
    stopInApp = startInApp(zone, asked.inApp, async (begun) => {
      const page = shared()
      if (page.busy) return 'busy'
      const unlock = lock()
      try {
        const { feed, image } = await load('in_app_interstitial', asked.ids)
        const showing = feed.ad && (await showOver(server, feed.ad, false, image))
        if (!showing) return 'none'
        void showing.begun.then(begun)
        await showing.closed
        return 'shown'
      } finally {
        unlock()
      }
    })
    return makeResult(zone, asked.ids)
  }

  return async (given) => {
    const asked = readOptions(given)
    switch (asked.type) {
      case 'preload':
        return preload(asked)
      case 'pop':
        return pop(asked)
      case 'inApp':
        return inApp(asked)
      default:
        return over(asked)
    }
  }
}
