// The SDK that shows ads: its public face, written by hand and held to by the compiler. docs/sdk.md shows how it is used.
// The script tag defines window.show_123456, or whatever its data-sdk says.

/**
 * Shows an ad of one zone. Called with nothing, with a type, or with options. The Promise settles as the type says, and
 * rejects with an AdError and nothing else.
 */
export interface ShowAd {
  (options?: AdType | AdOptions | (string & {})): Promise<AdResult>
}

/**
 * When the Promise settles: `end` when the ad is gone, `start` when it begins, `preload` when an ad is there for the next
 * call, `pop` when a window was opened, `inApp` when ads will come by themselves. A word that is not known counts as `end`.
 */
export type AdType = 'end' | 'start' | 'preload' | 'pop' | 'inApp'

export interface AdOptions {
  /** `end` without it. */
  type?: AdType | (string & {})
  /** The app's id of this showing, at most 256 bytes. Without it the Telegram user's id is sent where there is one. */
  ymid?: string | number | bigint | null
  /** The app's label for the spot that asks, at most 256 bytes. */
  requestVar?: string | number | bigint | null
  /** With `preload`: after how many seconds to give up. */
  timeout?: number
  /** Makes the Promise reject when there is no ad. Without it, the Promise resolves all the same. */
  catchIfNoFeed?: boolean
  /** With `inApp`: when ads come. */
  inAppSettings?: InAppSettings
}

export interface InAppSettings {
  /** How many ads there are at most within the window; 2 without it. */
  frequency?: number
  /** The window, in hours; 0.1 without it. */
  capping?: number
  /** The least time between two ads, in seconds; 30 without it. */
  interval?: number
  /** The time before the first ad, in seconds; 5 without it. */
  timeout?: number
  /** Counts anew on each page. Without it the counts go on for as long as the tab does. */
  everyPage?: boolean
}

export interface AdResult {
  /** `valued` when the server has said so by now; else `not_valued`. Only the postback proves it. */
  reward_event_type: 'valued' | 'not_valued'
  /** US dollars as an exact decimal, such as "0.0023": an estimate. Absent while it is not known. */
  estimated_price?: string
  /** The placement that served. Absent when there was no ad. */
  sub_zone_id?: string
  zone_id: string
  /** Empty, like those below, when there is none. */
  request_var: string
  ymid: string
  telegram_id: string
}

/** Why there was no ad, or why nothing can be said of it. `message` says what to correct. */
export interface AdError extends Error {
  name: 'CaromAdError'
  code: AdErrorCode
}

/**
 * - `no_feed`: there is no ad, and catchIfNoFeed is set
 * - `zone`: the zone is not set up for this: unknown, a sub-zone, or without the format
 * - `origin`: the app does not list the page's origin
 * - `ymid_required`: the zone asks for a ymid
 * - `invalid`: an option is wrong, or the server refused what it was sent
 * - `too_many`: the server wants fewer requests
 * - `network`: the server cannot be reached
 * - `timeout`: the preload took longer than its timeout
 * - `popup_blocked`: the browser did not open the window
 * - `busy`: another ad is being shown
 */
export type AdErrorCode =
  | 'no_feed'
  | 'zone'
  | 'origin'
  | 'ymid_required'
  | 'invalid'
  | 'too_many'
  | 'network'
  | 'timeout'
  | 'popup_blocked'
  | 'busy'

declare global {
  interface Window {
    [show: `show_${string}`]: ShowAd
  }
}
