import { useSearchParams } from 'react-router'

/** useTab keeps which tab of a page is open in its address, so that it can be linked to. first is open without one. */
export function useTab<T extends string>(tabs: readonly T[], first: T): [T, (tab: string | null) => void] {
  const [params, setParams] = useSearchParams()
  const open = params.get('tab') as T
  return [
    tabs.includes(open) ? open : first,
    (tab) =>
      setParams(
        (before) => {
          const next = new URLSearchParams(before)
          if (tab && tab !== first) next.set('tab', tab)
          else next.delete('tab')
          return next
        },
        { replace: true },
      ),
  ]
}
