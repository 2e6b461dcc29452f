import { useCallback, useMemo } from 'react'
import { useSearchParams } from 'react-router'

/** The words that filters are written with, the same in every list, in the address of a page, and in /v1. */
export const filterWords = [
  'app', 'source', 'endpoint', 'user', 'ymid', 'zone', 'sub_zone', 'request_var', 'event_type', 'state', 'outcome', 'reason', 'network', 'from', 'to', 'q', 'kind', 'rule', 'by', 'currency', 'actor', 'action', 'object',
] as const
export type FilterWord = (typeof filterWords)[number]
export type Filter = Partial<Record<FilterWord, string>>

/** useFilter keeps a page's filter in its address, so that it can be shared, saved and reached by going back. */
export function useFilter(): [Filter, (change: Filter) => void] {
  const [params, setParams] = useSearchParams()
  const filter = useMemo(() => {
    const f: Filter = {}
    for (const word of filterWords) {
      const value = params.get(word)
      if (value) f[word] = value
    }
    return f
  }, [params])
  const change = useCallback(
    (changed: Filter) =>
      setParams(
        (before) => {
          const next = new URLSearchParams(before)
          for (const [word, value] of Object.entries(changed)) {
            if (value) next.set(word, value)
            else next.delete(word)
          }
          return next
        },
        { replace: true },
      ),
    [setParams],
  )
  return [filter, change]
}

/** searchOf writes a filter as the query of an address. */
export function searchOf(filter: Filter): string {
  const params = new URLSearchParams()
  for (const word of filterWords) {
    const value = filter[word]
    if (value) params.set(word, value)
  }
  const text = params.toString()
  return text && `?${text}`
}
