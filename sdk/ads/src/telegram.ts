// What Telegram's script says of the user and the colours, where the page is a Mini App whose page has loaded it.

interface WebApp {
  initData?: string
  initDataUnsafe?: { user?: { id?: number | string } }
  platform?: string
  themeParams?: Record<string, string>
  isVersionAtLeast?: (version: string) => boolean
  openLink?: (url: string) => void
  openTelegramLink?: (url: string) => void
}

export const webApp = (): WebApp | undefined => (window as { Telegram?: { WebApp?: WebApp } }).Telegram?.WebApp

/**
 * linkOpener returns the function that opens a link out of a Mini App, whose own windows and links to other hosts lead
 * nowhere on phones. Outside Telegram there is none, although Telegram's script may be there: it says so by its platform.
 */
export const linkOpener = (): ((url: string) => void) | undefined => {
  const app = webApp()
  if (!app?.openLink || app.platform == 'unknown') return
  return (url) =>
    // Versions before 7.0 close the Mini App with it.
    /^https:\/\/t\.me\//.test(url) && app.openTelegramLink && app.isVersionAtLeast?.('7.0')
      ? app.openTelegramLink(url)
      : app.openLink!(url)
}
