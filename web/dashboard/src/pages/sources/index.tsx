import { Route, Routes } from 'react-router'
import { Empty, Page } from '../../parts/page'
import { SourceList } from './list'
import { NewSource } from './new'
import { OneSource } from './one'

/** Sources are the ways in: all of them, one, and the making of a new one. */
export default function Sources() {
  return (
    <Routes>
      <Route index element={<SourceList />} />
      <Route path="new" element={<NewSource />} />
      <Route path=":app/:name" element={<OneSource />} />
      <Route
        path="*"
        element={
          <Page title="Nothing here">
            <Empty title="There is no page at this address">Sources lists those that there are.</Empty>
          </Page>
        }
      />
    </Routes>
  )
}
