// The helper with which an app shows an ad and learns what came of the view: its public face, written by hand and held to
// by the compiler. docs/front-end.md shows how it is used.

/** Makes a helper for one app. It starts nothing. Throws a TypeError that names the option that is missing or wrong. */
export declare function createCarom(options: Options): Carom

/** How to reach carom, and who opens views: the browser with Telegram's init data, or the app's own backend. */
export type Options = BrowserOpens | BackendOpens

interface Common {
  /** The address of carom's server, such as https://postbacks.example */
  server: string
  /**
   * Where the views are kept whose end is not known yet, so that they outlive a reload; null keeps none. The default is
   * sessionStorage. localStorage also outlives the app's closing, but all accounts on a device share it.
   */
  storage?: Storage | null
}

/** The browser opens views, and Telegram's init data says for whom. */
export interface BrowserOpens extends Common {
  /** The app's name in carom's objects file. */
  app: string
  /** Returns the init data as Telegram gave it: () => Telegram.WebApp.initData */
  initData: () => string
  openView?: undefined
}

/** The app's backend opens views. */
export interface BackendOpens extends Common {
  /**
   * Asks the backend for a view, and returns what carom answered to the backend, or the backend's response that has it as
   * its body. What it throws counts as a network error, and it is called again.
   */
  openView: (placement: string, signal: AbortSignal) => Promise<View | Response>
  app?: string
  initData?: undefined
}

export interface Carom {
  /**
   * Opens a view, shows the ad and waits for the server's word. Never rejects, except with the signal's reason.
   *
   * It resolves when the ad has been shown and the outcome is known, or when the patience ends.
   */
  reward(options: RewardOptions): Promise<Outcome>
  /**
   * Opens a view ahead of the tap, for ads that have to be shown within it (popups): pass it to reward as `view`. Rejects
   * with a Failure within 15 seconds, or with the signal's reason.
   */
  open(placement: string, options?: { signal?: AbortSignal }): Promise<View>
  /** Waits for the outcome of a view whose ad was shown before, as reward does. */
  resume(view: View, options?: WaitOptions): Promise<Outcome>
  /** The views, oldest first, whose ad was shown and whose end is not known: after a reload, pass them to resume. */
  pending(): View[]
}

export interface WaitOptions {
  /** How many milliseconds to wait once the ad has been shown. The default is 60000. */
  patienceMs?: number
  /** Ends the waiting: the promise rejects with its reason. The view stays among the pending ones. */
  signal?: AbortSignal
  /** Hears how it goes, until the outcome. */
  onUpdate?: (update: Update) => void
}

/** What reward is told: the placement at which to open a view, or a view that was opened before. */
export type RewardOptions = WaitOptions & {
  /**
   * Calls the network's own function, and returns a promise that settles when the ad has ended: rejected, when there was
   * no ad. With `view` it is called before reward returns, hence within the user's tap.
   */
  show: (view: { ymid: string; requestVar: string }) => unknown
} & ({ placement: string; view?: undefined } | { view: View; placement?: undefined })

/** A view, as carom's server answers when it is opened. It can be kept as JSON. */
export interface View {
  view_id: string
  /** What the network is given. */
  ymid: string
  /** Lets a browser ask about this view, and nothing else. */
  token: string
  /** The spot that asks, which the network is given as requestVar. */
  placement: string
  /** When the view expires, as RFC 3339. */
  expires_at: string
}

/**
 * What happens while the promise is pending: the ad is on the screen; it has ended and the server's word is awaited; the
 * network does not pay for what it has seen so far; the server cannot be reached, and is tried again.
 */
export interface Update {
  state: 'showing' | 'waiting' | 'unpaid' | 'retrying'
  view: View
}

/** What came of it. `confirmed`, `declined` and `expired` are the server's word; the view is pending after some others. */
export type Outcome =
  /** There is a reward. late: it was earned after the view had expired. */
  | { state: 'confirmed'; view: View; reward: Reward; late?: boolean }
  /** The ad counted, and the app's rules give nothing for it: reason is a word such as `capped` or `cooldown`. */
  | { state: 'declined'; view: View; reason: string }
  /** The view was open for too long. unpaid: the network has seen an ad that it does not pay for. */
  | { state: 'expired'; view: View; unpaid?: boolean }
  /** The patience has ended, and the network does not pay for what it has seen so far. Pending. */
  | { state: 'unpaid'; view: View }
  /** The patience has ended before anything came. It may come later. Pending. */
  | { state: 'late'; view: View }
  /** show() threw or rejected, and the server knows of nothing. cause is what it rejected with. */
  | { state: 'no_ad'; view: View; cause: unknown }
  /** Nothing can be said. Without a view none was opened, and no ad was shown. With `network` the view is pending. */
  | { state: 'failed'; view?: View; error: Failure['error']; cause: Failure }

/** What a confirmed view has earned. */
export interface Reward {
  id: string
  /** The app's rule that it was earned by. */
  rule: string
  /** An exact decimal, such as "0.0023": show it as it is, and do not count with it as a number. */
  amount: string
  currency: string
  /** granted: it is in the balance; held: it will be, at `until`. A view that is resumed may find it taken back. */
  state: 'granted' | 'held' | 'reversed' | 'canceled'
  /** RFC 3339. */
  until?: string
}

/** Why a request failed. The message is for developers. */
export interface Failure extends Error {
  /**
   * network: no answer, or one that says to try later, for as long as there was patience. forbidden: the init data, the
   * page's origin or the token is not accepted. invalid: the request is at fault, the view is a day past its end, or openView
   * returned something else than a view.
   */
  error: 'network' | 'forbidden' | 'invalid'
  /** The HTTP status; 0 without an answer. */
  status: number
}

export as namespace Carom
