import { useEffect, useRef, useState } from 'react'

/** A Stream says how the connection to a feed stands. */
export type StreamState = 'connecting' | 'open' | 'lost'

/**
 * useStream follows a feed of server-sent events at a path of /v1. on is called for each, with its name and its data; it may change between
 * calls. The browser connects again by itself after a cut. Without a path nothing is followed. Another number of attempt connects once more
 * after the connection was lost.
 */
export function useStream(path: string | null, names: readonly string[], on: (name: string, data: unknown) => void, attempt = 0): StreamState {
  const [state, setState] = useState<StreamState>('connecting')
  const latest = useRef(on)
  latest.current = on
  const list = names.join(',')
  useEffect(() => {
    if (!path) return
    setState('connecting')
    const source = new EventSource(path)
    source.onopen = () => setState('open')
    source.onerror = () => setState(source.readyState === EventSource.CLOSED ? 'lost' : 'connecting')
    for (const name of list.split(',')) {
      source.addEventListener(name, (event) => latest.current(name, JSON.parse((event as MessageEvent<string>).data)))
    }
    return () => source.close()
  }, [path, list, attempt])
  return state
}
