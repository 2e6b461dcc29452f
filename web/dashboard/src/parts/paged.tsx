import { Button, Group, Text } from '@mantine/core'
import { type InfiniteData, useInfiniteQuery, type UseInfiniteQueryResult } from '@tanstack/react-query'
import type { ReactNode } from 'react'
import { Answer, ProblemNote } from './answer'

/**
 * usePaged reads a list of /v1 page by page: load gets the cursor of the page before, or undefined for the first. With refetchInterval, in
 * milliseconds, what is shown is read again so often.
 */
export function usePaged<Page extends { next?: string }>(key: readonly unknown[], load: (before?: string) => Promise<Page>, options: { refetchInterval?: number } = {}) {
  return useInfiniteQuery({
    queryKey: key,
    queryFn: ({ pageParam }) => load(pageParam || undefined),
    initialPageParam: '',
    getNextPageParam: (page: Page) => page.next || undefined,
    refetchInterval: options.refetchInterval,
  })
}

/** Paged shows the rows of a list so far, and a button for those behind them. more names it: "Older". */
export function Paged<Page, Row>(props: {
  query: UseInfiniteQueryResult<InfiniteData<Page>>
  rows: (page: Page) => Row[]
  empty: ReactNode
  more?: string
  children: (rows: Row[]) => ReactNode
}) {
  const { query } = props
  return (
    <Answer query={query}>
      {(data) => {
        const rows = data.pages.flatMap(props.rows)
        return (
          <>
            {rows.length > 0 ? props.children(rows) : query.hasNextPage ? <Text size="sm">Nothing among the newest. There is more to look through.</Text> : props.empty}
            <ProblemNote error={query.isFetchNextPageError ? query.error : null} />
            {query.hasNextPage && (
              <Group mt="sm">
                <Button variant="default" onClick={() => void query.fetchNextPage()} loading={query.isFetchingNextPage}>
                  {props.more ?? 'Older'}
                </Button>
              </Group>
            )}
          </>
        )
      }}
    </Answer>
  )
}
